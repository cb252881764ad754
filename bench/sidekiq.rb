# The no-op job for Sidekiq's own worker: sidekiq -r ./sidekiq.rb. It prints what
# worker.go prints.
require "sidekiq"

Sidekiq.logger.level = Logger::WARN
Redis.silence_deprecations = true # redis-rb would print one for every job
$stdout.sync = true

class NoOp
  include Sidekiq::Worker

  JOBS = Integer(ENV.fetch("JOBS"))
  LOCK = Mutex.new
  @ran = 0

  def self.ran!
    n = LOCK.synchronize { @ran += 1 }
    puts "first" if n == 1
    puts "last" if n == JOBS
  end

  def perform(_sent)
    NoOp.ran!
  end
end
