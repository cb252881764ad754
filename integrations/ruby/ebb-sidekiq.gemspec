# frozen_string_literal: true

require_relative "lib/ebb/sidekiq/version"

Gem::Specification.new do |spec|
  spec.name = "ebb-sidekiq"
  spec.version = Ebb::Sidekiq::VERSION
  spec.summary = "A reliable fetch for Sidekiq: what a killed process ran runs again within seconds"
  spec.description = "Keeps each job of a Sidekiq process in Redis until it has ended, where ebb and all processes with this gem find it."
  spec.authors = ["The ebb authors"]
  spec.homepage = "https://github.com/ebbjobs/ebb/tree/main/integrations/ruby"
  spec.license = "MIT"
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.{rb,lua}", "README.md"] }
  spec.required_ruby_version = ">= 2.7"
  spec.add_dependency "sidekiq", ">= 6.4", "< 9"
end
