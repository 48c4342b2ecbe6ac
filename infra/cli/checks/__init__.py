"""What `antenna doctor` checks: facts are gathered, then judged, a row a check."""
