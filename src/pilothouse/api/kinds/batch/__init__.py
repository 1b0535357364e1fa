"""batch: Job, CronJob."""
