job "shop" {
  group "workers" {
    task "worker" {
      driver = "docker"
      config {
        image = "shop:143"
        command = "bundle"
        args = ["exec", "sidekiq"]
      }
    }
  }
}
