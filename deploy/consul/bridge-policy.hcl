# What the token of pgpulse-consul-bridge may do, and nothing else. For two targets of the README, "orders-db" of the
# service "orders" and "users-db" of the service "users"; put your own in their places.
#
#   consul acl policy create -name pgpulse-consul-bridge -rules @bridge-policy.hcl
#   consul acl token create -description "pgpulse-consul-bridge" -policy-name pgpulse-consul-bridge
#
# Each "write" implies "read": the bridge reads back what it wrote. docs/consul-rights.md has the reasons, and what the
# bridge says where a rule is missing.

# The KV values. With --kv-prefix other/ this is key_prefix "other/". The slash belongs to it: "health" would also be
# everybody's "healthcheck/".
key_prefix "health/" {
  policy = "write"
}

# A node for each target, by the target's name: creating, changing and removing it, and its checks that belong to no
# service any more. Never node_prefix "": that is every agent's node, whose address could then be changed and which
# could be removed. Where the targets' names share a beginning that no machine's name has, one rule does for all:
#
#   node_prefix "pg-" { policy = "write" }
node "orders-db" {
  policy = "write"
}
node "users-db" {
  policy = "write"
}

# The services that the targets are instances of, with their checks: the "service" of each definition, or the target's
# own name where it has none. Whoever may write a service may also register instances of it anywhere, so name those of
# databases alone, or give them a beginning of their own:
#
#   service_prefix "pg-" { policy = "write" }
service "orders" {
  policy = "write"
}
service "users" {
  policy = "write"
}

# The bridge itself: a service with a TTL check on the agent that it talks to. The interfaces of the agent that it uses
# for it (register, deregister, update of a check) ask for this rule alone, not for one of "agent".
service "pgpulse-consul-bridge" {
  policy = "write"
}

# With --stale-after the bridge asks Consul whether another bridge carries on, whichever agent that one talks to. Without
# this it marks nothing as stale while it does not hear itself on NATS, and says so:
#
#   node_prefix "" { policy = "read" }

# With --compat consul-postgres also the key at the root of each target:
#
#   key "orders-db" { policy = "write" }
#   key "users-db" { policy = "write" }
