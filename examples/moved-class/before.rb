class InvoiceJob
  include Sidekiq::Worker
  sidekiq_options queue: "default", retry: 10

  def perform(order_id, locale = "en", options = {})
    InvoiceMailer.send_invoice(order_id, locale, copy: options["copy"])
  end
end
