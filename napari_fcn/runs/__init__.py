"""Running one image to its results: the job, the writer of results, and the folder that lets a stopped run resume."""
