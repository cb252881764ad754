# Part of the configuration of each Nomad client that runs workers.
client {
  enabled = true
  # The most that kill_timeout of a task is granted. Unless raised it is 30 s.
  max_kill_timeout = "120s"
}
