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
    LOCK.synchronize do
      @ran += 1
      puts "first" if @ran == 1
      puts "last" if @ran == JOBS
    end
  end

  def perform(_sent)
    NoOp.ran!
  end
end
