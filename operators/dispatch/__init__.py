"""Remote jobs: from the queue to a site's scheduler, exactly once, and followed there to the end."""
