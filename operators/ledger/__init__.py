"""What was used, by whom: a row a job, kept across restarts and after the job is gone."""
