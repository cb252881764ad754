job "ebb" {
  update {
    max_parallel = 1
    canary       = 1 # the new worker begins before the old one ends
    auto_promote = true
  }

  group "worker" {
    count = 2

    task "worker" {
      driver = "docker"

      # From TERM to KILL: 120 = 110 for jobs + 10 to save and give back what still runs.
      # The client grants no more than its max_kill_timeout, 30 s unless raised: see
      # ../nomad-client.hcl.
      kill_timeout = "120s"
      # The docker driver's default, written down because that of the others is INT.
      kill_signal = "SIGTERM"

      config {
        image           = "registry.example.com/ebb:v1"
        readonly_rootfs = true
        cap_drop        = ["all"]
        mount {
          type   = "tmpfs" # checkpoints of handlers, and the control socket
          target = "/tmp"
        }
      }

      env {
        EBB_GRACE = "120" # the same number: ebb derives all its deadlines from it
      }

      template { # EBB_STORE, which holds a password
        destination = "secrets/ebb.env"
        env         = true
        data        = "EBB_STORE={{ with nomadVar \"nomad/jobs/ebb\" }}{{ .store }}{{ end }}"
      }

      resources {
        cpu    = 250
        memory = 256
      }
    }
  }
}
