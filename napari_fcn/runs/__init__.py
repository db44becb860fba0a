"""Runs of one image to its result files: job, writer, progress, and the folder from which a stopped run resumes."""
