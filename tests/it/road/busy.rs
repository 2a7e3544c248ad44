//! A thousand new devices on a busy tenant, over HTTP on loopback: what it
//! may cost is counted by the tenant.
