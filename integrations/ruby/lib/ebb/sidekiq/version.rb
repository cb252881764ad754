# frozen_string_literal: true

module Ebb
  module Sidekiq
    VERSION = "0.1.0"
  end
end
