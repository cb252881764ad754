// What the reader prefers, and what they want to be told while they look elsewhere.

onPage(root => {
  const form = root.querySelector('[data-settings]')
  if (!form) return
  root.querySelector('[data-settings-without]')?.remove()
  form.hidden = false
  for (const input of form.elements) {
    if (input.type === 'radio') input.checked = input.value === (preference(input.name) ?? '')
    if (input.type === 'checkbox') input.checked = preference(input.name) === 'on' && allowed()
  }
  form.addEventListener('change', async e => {
    const { name, value, checked, type } = e.target
    if (type === 'radio') return prefer(name, value)
    if (checked && !allowed()) await globalThis.Notification?.requestPermission()
    e.target.checked = checked && allowed()
    prefer(name, e.target.checked ? 'on' : '')
    form.querySelector('[data-settings-notify]').textContent = e.target.checked === checked ? '' : 'This browser does not allow notifications here.'
  })
})

const allowed = () => globalThis.Notification?.permission === 'granted'

// notify tells of each stop and reason once: the tag makes one of what several windows say.
const notified = new Set()
function notify(bar) {
  if (preference('notify') !== 'on' || !allowed()) return
  for (const [reason, text] of [['lost', `${bar.dataset.lost} lost`], ['tight', '80 % of a grace are used']]) {
    const tag = `ebb ${base} ${bar.dataset.key} ${reason}`
    if (bar.dataset[reason] === undefined || notified.has(tag)) continue
    notified.add(tag)
    const shown = new Notification(document.title, { body: `${bar.querySelector('b')?.textContent ?? ''}: ${text}`, tag })
    shown.addEventListener('click', () => { focus(); location.assign(bar.href) })
  }
}
const stops = document.querySelector('.deploy')
if (stops) {
  const look = () => stops.querySelectorAll('.deploy-bar[data-key]').forEach(notify)
  new MutationObserver(look).observe(stops, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-lost', 'data-tight'] })
  look()
}

// The time axes of charts say hours and days of UTC, unless the reader wants their own.
onPage(root => {
  if (preference('clock') !== 'local') return
  for (const zone of root.querySelectorAll('[data-zone]')) zone.textContent = 'your zone'
  for (const t of root.querySelectorAll('time[data-axis]')) {
    const at = new Date(t.dateTime)
    t.textContent = t.dataset.axis === 'days' ? at.toLocaleDateString(undefined, { month: 'short', day: 'numeric' }) : at.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
  }
})
