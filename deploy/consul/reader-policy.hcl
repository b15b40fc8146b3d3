# What whoever reads the targets' health in Consul needs where ACLs deny by default: over HTTP, and by DNS for the token that
# DNS queries have (tokens.dns or tokens.default of the agent, or the anonymous token):
#   consul acl policy create -name pgpulse-reader -rules @reader-policy.hcl
#   consul acl token update -id anonymous -policy-name pgpulse-reader

# A service's instances stand on nodes named as the targets are; DNS answers with neither unless both may be read.
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}

# The states themselves; it follows --kv-prefix.
key_prefix "health/" {
  policy = "read"
}
