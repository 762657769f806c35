"""What may be wrong with files of posts and with bundles: checks, audits with gates, behaviour suites."""
