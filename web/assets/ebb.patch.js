// How a piece of the page becomes what the server says it is now, without disturbing
// whoever reads or works in it.

// sent is what the server last sent of a keyed element, to tell what has changed in it.
const sent = new WeakMap()
const timeText = /(<time [^>]*>)[^<]*/g
const titleText = / title="[^"]*"/g
const signature = e => e.outerHTML.replace(timeText, tag => tag.replace(titleText, ''))

onPage(root => {
  for (const row of root.querySelectorAll('[data-key]')) if (!sent.has(row)) sent.set(row, signature(row))
})

const openThings = 'details[open], dialog[open], [popover]:popover-open'

// Where the reader has a hand before a piece changes: focus, pointer and selection. To
// ask in between would have the browser lay out the page anew for each row.
let focused, pointed, chosen
function feel() {
  const { activeElement, body } = document, selection = getSelection()
  focused = activeElement === body ? null : activeElement
  pointed = [...document.querySelectorAll(':hover')].at(-1)
  chosen = selection && !selection.isCollapsed ? selection.getRangeAt(0) : null
}

const selected = node => !!chosen?.intersectsNode(node)

// held reports whether the reader has a hand on an element: focus, pointer, a selection,
// or something opened in it.
function held(e) {
  return focused && e.contains(focused) || pointed && e.contains(pointed) || selected(e) ||
    e.matches(openThings) || !!e.querySelector(openThings)
}

// What belongs to the reader, or to script, and not to what the server says.
const kept = new Set(['open', 'aria-selected', 'data-cursor', 'data-changed', 'title'])

function syncAttributes(was, to) {
  for (const { name } of [...was.attributes]) if (!to.hasAttribute(name) && !kept.has(name)) was.removeAttribute(name)
  for (const { name, value } of to.attributes) {
    if (was.getAttribute(name) !== value && (!kept.has(name) || name === 'title')) was.setAttribute(name, value)
  }
}

// morph makes was what to is. It reports whether all of it could be done.
function morph(was, to) {
  if (was.nodeType !== Node.ELEMENT_NODE) {
    if (was.nodeValue === to.nodeValue) return true
    if (selected(was)) return false
    was.nodeValue = to.nodeValue
    return true
  }
  const keyed = was.hasAttribute('data-key')
  const now = keyed ? signature(to) : ''
  if (keyed && sent.get(was) === now) return true
  if (keyed && !was.querySelector('[data-key]') && held(was)) {
    was.setAttribute('data-changed', '')
    return false
  }
  if (was.localName === 'time' && was.dateTime === to.dateTime) return true
  syncAttributes(was, to)
  const whole = morphChildren(was, to)
  if (keyed && whole) {
    sent.set(was, now)
    was.removeAttribute('data-changed')
    if (was.localName === 'tr' || was.classList.contains('card')) was.classList.add('moved')
  }
  return whole
}

const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && !a.dataset?.key === !b.dataset?.key

function morphChildren(was, to) {
  const rows = [...was.children].some(c => c.dataset.key) || [...to.children].some(c => c.dataset.key)
  return rows ? morphRows(was, to) : morphInOrder(was, to)
}

function morphInOrder(was, to) {
  let whole = true
  const next = [...to.childNodes], old = [...was.childNodes].filter(n => !n.dataset?.ours)
  for (const [i, n] of next.entries()) {
    const o = old[i]
    if (!o) was.append(adopt(n))
    else if (alike(o, n)) whole = morph(o, n) && whole
    else if (o.nodeType === Node.ELEMENT_NODE && held(o)) whole = false
    else o.replaceWith(adopt(n))
  }
  for (const o of old.slice(next.length)) {
    if (o.nodeType === Node.ELEMENT_NODE && held(o)) whole = false
    else o.remove()
  }
  return whole
}

// morphRows matches rows by their key. While somebody reads the list nothing moves in
// it: what is new waits, and what has gone stays as it was, both marked.
function morphRows(was, to) {
  const old = new Map([...was.children].filter(c => c.dataset.key).map(c => [c.dataset.key, c]))
  const next = [...to.children]
  const keys = new Set(next.map(c => c.dataset.key))
  const same = next.length === was.children.length && next.every((c, i) => c.dataset.key === was.children[i].dataset.key)
  const reading = !same && !wanted.has(was) && (held(was) || was.getBoundingClientRect().top < 0 && was.isConnected)
  let whole = true, fresh = 0
  if (reading) {
    for (const n of next) {
      const o = old.get(n.dataset.key)
      if (o) whole = morph(o, n) && whole
      else fresh++
    }
    for (const [key, o] of old) o.toggleAttribute('data-gone', !keys.has(key))
    waiting.set(was, fresh)
    return false
  }
  waiting.delete(was)
  let at = was.firstElementChild
  for (const n of next) {
    const o = n.dataset.key ? old.get(n.dataset.key) : at && alike(at, n) ? at : null
    if (!o) {
      was.insertBefore(adopt(n), at)
      continue
    }
    whole = morph(o, n) && whole
    o.removeAttribute('data-gone')
    if (o === at) at = at.nextElementSibling
    else was.insertBefore(o, at)
  }
  while (at) {
    const gone = at
    at = at.nextElementSibling
    gone.remove()
  }
  return whole
}

function adopt(node) {
  const here = document.importNode(node, true)
  if (here.nodeType === Node.ELEMENT_NODE) {
    const holder = new DocumentFragment()
    holder.append(here)
    startAll(holder)
  }
  return here
}

// What waits for its reader: the last piece that could not be shown as a whole, how many
// rows are new in each list, and the lists that the reader wants to see move.
const due = new Map()
const waiting = new Map()
const wanted = new Set()

// show brings one live part of the page up to date.
function show(live, html) {
  const first = live.querySelector(':scope > [data-ours]')
  const next = document.createElement('div')
  next.append(markup(html))
  feel()
  const whole = morphChildren(live, next)
  if (first && !live.contains(first)) live.prepend(first)
  if (whole) due.delete(live)
  else due.set(live, html)
  bar(live)
  tick(live)
}

// bar says above a list that is being read how much is new.
function bar(live) {
  const fresh = [...waiting].filter(([list]) => live.contains(list)).reduce((n, [, count]) => n + count, 0)
  let button = live.querySelector(':scope > .new-rows')
  if (!due.has(live) || fresh === 0) {
    button?.remove()
    return
  }
  if (!button) {
    button = element('button', { type: 'button', class: 'new-rows small', 'data-ours': '1' })
    button.addEventListener('click', () => {
      for (const list of waiting.keys()) if (live.contains(list)) wanted.add(list)
      document.activeElement?.blur()
      button.remove()
      const html = due.get(live)
      if (html !== undefined) show(live, html)
      wanted.clear()
    })
    live.prepend(button)
  }
  button.textContent = `${fresh} new, show`
}

// catchUp shows what waited, once the reader has let go.
let later
function catchUp() {
  clearTimeout(later)
  later = setTimeout(() => {
    for (const [live, html] of [...due]) {
      if (live.isConnected) show(live, html)
      else due.delete(live)
    }
  }, 150)
}
for (const kind of ['pointerout', 'focusout', 'selectionchange', 'toggle', 'close']) {
  document.addEventListener(kind, () => { if (due.size) catchUp() }, true)
}
