"""Who a partner's verb acts for: logins, their tokens, the rights that follow."""
