# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Keys are where ebb keeps things; see store/redisstore/doc.go.
    module Keys
      HOLDERS = "ebb:holders"
      DOORBELLS = "ebb:doorbells"
      PRESENCE = "ebb:presence"
      QUEUES = "ebb:queues"
      BELL = "ebb:bell:" # begins the names of channels

      module_function

      def line(queue)
        "queue:#{queue}"
      end

      def of(queue, what)
        "ebb:{queue:#{queue}}:#{what}"
      end

      def inbox(queue)
        of(queue, "inbox")
      end

      def books(queue)
        of(queue, "books")
      end

      def held(queue, id)
        of(queue, "held:#{id}")
      end

      def last(id)
        "ebb:last:#{id}"
      end

      # verdict are the keys of the scripts that begin with held.lua.
      def verdict(id, queues)
        [last(id), HOLDERS, "schedule", "retry", "dead", "ebb:outbox"] +
          queues.flat_map { |q| [held(q, id), books(q), line(q), inbox(q)] } + ["queues", QUEUES, "ebb:strays"]
      end

      # departure are the keys of depart.lua.
      def departure(id)
        ["ebb:stops", "ebb:stop:#{id}", PRESENCE, "processes", id, "#{id}:work", "#{id}:workers", "#{id}-signals", "ebb:commands:#{id}", DOORBELLS]
      end
    end
  end
end
