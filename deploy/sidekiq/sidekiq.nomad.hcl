job "sidekiq" {
  update {
    max_parallel = 1
    canary       = 1 # the new worker begins before the old one ends
    auto_promote = true
  }

  group "sidekiq" {
    count = 2

    task "sidekiq" {
      driver = "docker"

      # From TERM to KILL: 120 = 88 (idle) + 25 (worker timeout) + 5 + 2.
      # The client grants no more than its max_kill_timeout, 30 s unless raised: see
      # ../nomad-client.hcl.
      kill_timeout = "120s"
      # The docker driver's default, written down because that of the others is INT.
      kill_signal = "SIGTERM"

      config {
        image = "registry.example.com/sidekiq:v1"
        # Nomad has no hook that could drain: init quiets, waits until nothing runs, and sends TERM
        # in time for Sidekiq's 25 s and 5. It is the grace that ends idle, not the hour.
        entrypoint      = ["/ebb-init", "--stop", "TSTP;idle<=1h;TERM;30s;KILL", "--"]
        command         = "bundle"
        args            = ["exec", "sidekiq", "-t", "25"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        mount {
          type   = "tmpfs"
          target = "/tmp"
        }
      }

      env {
        EBB_GRACE = "120" # the same number, for init
      }

      template { # REDIS_URL, which holds a password
        destination = "secrets/sidekiq.env"
        env         = true
        data        = "REDIS_URL={{ with nomadVar \"nomad/jobs/sidekiq\" }}{{ .redis }}{{ end }}"
      }

      resources {
        cpu    = 500
        memory = 1024
      }
    }
  }
}
