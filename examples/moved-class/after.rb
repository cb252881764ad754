class InvoiceJob
  include Sidekiq::Worker
  sidekiq_options queue: "invoices-go", retry: 10

  # What was enqueued for the queue "default" before still ends here.
  def perform(order_id, locale = "en", options = {})
    InvoiceMailer.send_invoice(order_id, locale, copy: options["copy"])
  end
end
