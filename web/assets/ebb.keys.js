// Keys. Each has something on the page that does the same; those of one letter can be
// switched off, and none works where the reader writes.

const go = { o: '/', s: '/stops', p: '/processes', q: '/queues', j: '/jobs', m: '/metrics', h: '/schedule', d: '/doctor', a: '/audit' }
const keyHelp = [
  ['Ctrl K', 'find or do anything'], ['g then o s p q j m', 'go to Overview, Stops, Processes, Queues, Jobs, Metrics'],
  ['/', 'search'], ['j k', 'next and previous row'], ['Enter', 'open the row'], ['x', 'select the row'], ['Shift X', 'select as far as this row'], ['a', 'select all that match'],
  ['r', 'retry'], ['#', 'delete, which asks first'], ['u', 'undo'], ['Esc', 'close, or back'],
  ['p', 'pause what is live'], ['t', 'light, dark or as the system has it'], ['Shift T', 'times in UTC'], ['?', 'these keys'],
]

let goUntil = 0
document.addEventListener('keydown', e => {
  if ((e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey && e.key.toLowerCase() === 'k') {
    e.preventDefault()
    if (!document.querySelector('dialog[open]')) openPalette()
    return
  }
  const writing = e.target.closest?.('input:not([type="checkbox"]):not([type="radio"]), textarea, select, [contenteditable]')
  if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || writing || preference('keys') === 'off') return
  if (document.querySelector('dialog[open]')) return
  if (Date.now() < goUntil) {
    goUntil = 0
    if (go[e.key] !== undefined && document.querySelector(`a[href="${base + go[e.key]}"]`)) location.href = base + go[e.key]
    return
  }
  const act = keyActions[e.key]
  if (act && act(e) !== false) e.preventDefault()
})

const keyActions = {
  g: () => { goUntil = Date.now() + 1500 },
  '/': () => {
    const field = document.querySelector('main input[type="search"]')
    if (field) field.focus()
    else openPalette()
  },
  j: () => step(1),
  k: () => step(-1),
  x: () => selectRow(false),
  X: () => selectRow(true),
  Enter: e => {
    const row = cursor()
    if (!row || e.target.closest('a, button, input, summary')) return false
    row.querySelector('a[href]')?.click()
  },
  Escape: () => {
    const row = cursor()
    if (row) leaveRow(row)
    else if (history.length > 1) history.back()
  },
  a: () => press('a'),
  r: () => press('r'),
  '#': () => press('#'),
  u: () => document.querySelector('.toast form button')?.click(),
  p: () => pause(),
  t: () => {
    const order = [null, 'light', 'dark']
    const next = order[(order.indexOf(preference('theme')) + 1) % order.length]
    prefer('theme', next)
    say(next ? `${next} theme` : 'theme of the system')
  },
  T: () => {
    const utc = preference('clock') === 'utc' ? null : 'utc'
    prefer('clock', utc)
    say(utc ? 'times in UTC' : 'times as distances')
  },
  '?': () => showKeys(),
}

// press clicks what a page says the key is for: in the row of the cursor, or the page's.
function press(key) {
  const where = `[data-hotkey="${key}"]:not(:disabled)`
  const button = cursor()?.querySelector(where) ?? document.querySelector('main ' + where)
  if (!button) return false
  button.click()
}

const rows = () => [...document.querySelectorAll('main tr[data-key], main [data-row]')].filter(r => r.offsetParent)
const cursor = () => document.querySelector('[data-cursor]')

function leaveRow(row) {
  row.removeAttribute('data-cursor')
  row.removeAttribute('tabindex')
  row.blur()
}

function step(by) {
  const all = rows(), was = cursor()
  if (all.length === 0) return false
  const next = all[Math.max(0, Math.min(all.length - 1, was ? all.indexOf(was) + by : 0))]
  if (was && was !== next) leaveRow(was)
  next.setAttribute('data-cursor', '')
  next.tabIndex = -1
  next.focus({ preventScroll: true })
  next.scrollIntoView({ block: 'nearest' })
}

let anchor = null
function selectRow(range) {
  const row = cursor()
  const box = row?.querySelector('input[type="checkbox"]')
  if (!box) return false
  const all = rows(), from = range && anchor ? all.indexOf(anchor) : all.indexOf(row)
  const to = all.indexOf(row)
  if (range && anchor) {
    for (const r of all.slice(Math.min(from, to), Math.max(from, to) + 1)) {
      const b = r.querySelector('input[type="checkbox"]')
      if (b && !b.checked) b.click()
    }
  } else box.click()
  anchor = row
}

function showKeys() {
  const list = element('dl', { class: 'facts' })
  for (const [keys, what] of keyHelp) list.append(element('dt', {}, element('kbd', {}, keys)), element('dd', {}, what))
  const close = element('button', { type: 'button', autofocus: '' }, 'Close')
  const off = element('button', { type: 'button' }, 'Switch single keys off')
  const box = element('dialog', { 'aria-label': 'Keys' }, element('h2', {}, 'Keys'), list, element('div', { class: 'actions' }, off, close))
  close.addEventListener('click', () => box.close())
  off.addEventListener('click', () => {
    prefer('keys', 'off')
    say('Single keys are switched off. Settings switch them on again.')
    box.close()
  })
  box.addEventListener('close', () => box.remove())
  document.body.append(box)
  box.showModal()
}

document.addEventListener('click', e => {
  if (e.target.closest?.('[data-keys]')) showKeys()
})

// What only script can do is there only with script.
onPage(root => {
  for (const e of root.querySelectorAll('[data-script]')) e.hidden = false
})
