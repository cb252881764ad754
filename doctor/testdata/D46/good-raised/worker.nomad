job "shop" {
  group "workers" {
    task "worker" {
      driver = "docker"
      kill_timeout = "120s"
      config {
        image = "shop:143"
        command = "bundle"
        args = ["exec", "sidekiq"]
      }
    }
  }
}
