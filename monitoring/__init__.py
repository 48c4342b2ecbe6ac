"""Rules, alerts with runbooks, dashboards: what on-call staff see and are paged by."""
