job "shop" {
  group "workers" {
    task "worker" {
      driver = "raw_exec"
      kill_timeout = "30s"
      config {
        command = "/usr/bin/celery"
        args = ["worker"]
      }
    }
  }
}
