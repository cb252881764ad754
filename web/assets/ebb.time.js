// Relative times and countdowns, by the server's clock.

let skew = 0 // what to add to this browser's clock
function learnTime(now) {
  if (now) skew = now - Date.now()
}
learnTime(Number(document.documentElement.dataset.now))
const serverNow = () => Date.now() + skew

// span writes a time as the server does.
function span(ms) {
  const s = ms / 1000
  if (s < 9.95) return s.toFixed(1) + ' s'
  if (s < 120) return s.toFixed(0) + ' s'
  if (s < 7200) return Math.round(s / 60) + ' min'
  return s < 172800 ? Math.round(s / 3600) + ' h' : Math.round(s / 86400) + ' d'
}

function ago(ms) {
  return ms < -1000 ? 'in ' + span(-ms) : ms > 1000 ? span(ms) + ' ago' : 'now'
}

function left(ms) {
  const s = Math.max(0, Math.floor(ms / 1000)), two = n => String(n).padStart(2, '0')
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${two(Math.floor(s / 60))}:${two(s % 60)}`
}

// A format takes longer to make than all else that a page does at first.
const formats = new Map()

// exact is a moment in the reader's zone, or in UTC if they want that.
function exact(at) {
  const timeZone = document.documentElement.dataset.clock === 'utc' ? 'UTC' : undefined, two = '2-digit'
  if (!formats.has(timeZone)) {
    formats.set(timeZone, new Intl.DateTimeFormat('sv-SE', { year: 'numeric', month: two, day: two, hour: two, minute: two, second: two, timeZone, timeZoneName: 'short' }))
  }
  return formats.get(timeZone).format(at)
}

function tick(root = document) {
  const now = serverNow(), absolute = ['local', 'utc'].includes(document.documentElement.dataset.clock)
  for (const t of root.querySelectorAll('time')) {
    const at = new Date(t.dateTime)
    if (Number.isNaN(at.getTime()) || selected(t)) continue
    let text
    if (t.dataset.deadline !== undefined) text = left(at - now)
    else if (t.dataset.still !== undefined) continue
    else text = absolute ? exact(at) : ago(now - at)
    if (t.firstChild?.nodeType === Node.TEXT_NODE && t.childNodes.length === 1) {
      if (t.firstChild.nodeValue !== text) t.firstChild.nodeValue = text
    } else t.textContent = text
  }
}
onPage(tick)
document.addEventListener('pointerover', e => {
  const t = e.target.closest?.('time')
  if (t && !Number.isNaN(Date.parse(t.dateTime))) t.title = exact(new Date(t.dateTime))
})
setInterval(() => { if (!document.hidden) tick() }, 1000)
