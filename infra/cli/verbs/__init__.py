"""The verbs of `antenna`, a file each; it is imported when the verb is used."""
