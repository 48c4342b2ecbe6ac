"""Remote sites: what they are (data), and how their schedulers are reached."""
