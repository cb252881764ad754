client {
  enabled = true
  max_kill_timeout = "5m"
}
