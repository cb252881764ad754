// Confirmations open over the page instead of in its place. They are the same pages.

document.addEventListener('click', e => {
  const link = e.target.closest?.('a[data-confirm]')
  if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0) return
  e.preventDefault()
  confirmAt(link.href, link)
})

document.addEventListener('submit', e => {
  const form = e.target
  if (!form.matches('form[data-confirm]')) return
  const action = e.submitter?.getAttribute('formaction') ?? form.getAttribute('action')
  const method = e.submitter?.getAttribute('formmethod') ?? form.method
  if (method !== 'get') return
  e.preventDefault()
  const address = new URL(action, location.href)
  address.search = new URLSearchParams(new FormData(form, e.submitter))
  confirmAt(address.href, e.submitter ?? form)
})

// confirmAt shows what a page asks, and goes there if it cannot.
async function confirmAt(address, opener) {
  let asks
  try {
    const answer = await fetch(address, { cache: 'no-store' })
    const main = answer.ok && markup(await answer.text()).querySelector('main')
    asks = main && main.querySelector('form[method="post"]') && main
  } catch { /* the browser says why */ }
  if (!asks) {
    location.href = address
    return
  }
  const box = element('dialog', { class: 'asks' }, ...document.importNode(asks, true).childNodes)
  const heading = box.querySelector('h1, h2')
  if (heading) {
    heading.id = 'asks'
    box.setAttribute('aria-labelledby', 'asks')
  }
  const here = location.pathname + location.search
  for (const back of box.querySelectorAll('input[name="back"]')) if (!back.hasAttribute('data-final')) back.value = here
  for (const cancel of box.querySelectorAll('[data-close]')) {
    cancel.addEventListener('click', e => {
      e.preventDefault()
      box.close()
    })
  }
  box.addEventListener('close', () => {
    box.remove()
    if (opener.isConnected) opener.focus() // the row may have been drawn anew
  })
  document.body.append(box)
  startAll(box)
  box.showModal()
}
