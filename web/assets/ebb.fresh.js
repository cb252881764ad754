// One stream of changes for all windows of a browser: the window that holds the lock
// listens, and tells the others. Where there are no locks, which browsers keep for
// https and this machine, each window listens for itself.

const patience = 5000 // a stream says something every 2 s, or a proxy holds it back
const tooOld = 15000
const letGo = 60000
const page = document.body.dataset.page
const me = crypto.getRandomValues(new Uint32Array(2)).join('-')
const shared = 'locks' in navigator && 'BroadcastChannel' in globalThis
const channel = shared ? new BroadcastChannel('ebb' + base) : null
const indicator = document.querySelector('[data-fresh]')

const state = { how: 'off', heard: 0, why: '', paused: false }
const windows = new Map() // of the leader: what each window shows, and when it said so
let source = null, resign = null, polling = 0, watchdog = 0, reopening = 0, retrying = 0

const lives = () => [...document.querySelectorAll('.live[data-topic]')]
const mine = () => lives().map(l => [l.dataset.topic, page, l.dataset.version])

// heard takes what the stream said, here or in the window that listens.
function heard(kind, data) {
  if (kind === 'lost' || kind === 'bye') {
    state.how = kind
    state.why = kind === 'bye' ? 'ebb web is restarting' : 'ebb web does not answer'
    drawState()
    return
  }
  state.heard = Date.now()
  state.how = kind === 'poll' ? 'poll' : data.how ?? 'live'
  state.why = ''
  if (data.now) learnTime(data.now)
  if (data.assets && data.assets !== document.documentElement.dataset.assets) renew()
  if (kind === 'update' || kind === 'poll' && data.topic) update(data)
  drawState()
}

function update(u) {
  if (u.page !== page) return
  for (const live of lives()) {
    if (live.dataset.topic !== u.topic) continue
    const note = live.querySelector(':scope > .stale-why')
    if (u.error) {
      live.dataset.stale = ''
      const text = 'These are not fresh: ' + u.error
      if (note) note.textContent = text
      else live.prepend(element('p', { class: 'stale-why', 'data-ours': '1', role: 'status' }, text))
      continue
    }
    delete live.dataset.stale
    note?.remove()
    if (live.dataset.version === u.version) continue
    live.dataset.version = u.version
    show(live, u.html)
    for (const phase of live.querySelectorAll('[data-say]')) say(phase.dataset.say)
  }
}

// renew fetches the page anew after ebb web itself has changed, unless somebody is in
// the middle of something.
function renew() {
  const focus = document.activeElement
  if (document.querySelector('dialog[open]') || focus?.matches('input, textarea, select')) return
  location.reload()
}

function tellAll(kind, data) {
  channel?.postMessage({ kind, data })
  heard(kind, data)
}

// subjects are what the stream is to be of, each once.
function subjects() {
  const all = new Map()
  const add = list => {
    for (const [topic, on, version] of list) {
      const key = topic + '\n' + on
      all.set(key, [topic, on, all.has(key) && all.get(key)[2] !== version ? '' : version])
    }
  }
  add(mine())
  for (const w of windows.values()) add(w.subjects)
  return [...all.values()].slice(0, 64)
}

function query(list) {
  const q = new URLSearchParams()
  for (const [topic, on, version] of list) {
    q.append('topic', topic)
    q.append('page', on)
    q.append('version', version)
  }
  return q
}

// listen opens the stream, in place of the one before.
function listen() {
  hush()
  const list = subjects()
  if (list.length === 0) return
  source = new EventSource(`${base}/live?${query(list)}`)
  for (const kind of ['hello', 'update', 'beat', 'bye']) {
    source.addEventListener(kind, e => {
      clearInterval(polling)
      polling = 0
      guard()
      tellAll(kind, JSON.parse(e.data))
    })
  }
  source.addEventListener('error', () => {
    if (source?.readyState !== EventSource.CLOSED) return
    clearTimeout(retrying)
    retrying = setTimeout(listen, 2000)
  })
  guard()
}

function hush() {
  source?.close()
  source = null
  clearTimeout(watchdog)
  clearTimeout(retrying)
}

// guard notices a stream that says nothing: something between holds it back, or nobody
// is there.
function guard() {
  clearTimeout(watchdog)
  watchdog = setTimeout(async () => {
    if (!await poll()) {
      tellAll('lost', {})
      listen()
      return
    }
    hush()
    clearInterval(polling)
    let round = 0
    polling = setInterval(async () => {
      if (!await poll()) tellAll('lost', {})
      if (++round % 12 === 0) listen() // the proxy may have been told better
    }, patience)
  }, patience)
}

async function poll() {
  let any = false
  for (const [topic, on, version] of subjects()) {
    try {
      const answer = await fetch(`${base}/piece?${new URLSearchParams({ topic, page: on })}`,
        { headers: { 'If-None-Match': `"${version}"` }, cache: 'no-store', signal: AbortSignal.timeout(patience) })
      const now = Number(answer.headers.get('X-Now'))
      if (answer.status === 304) tellAll('poll', { now })
      else if (answer.ok) tellAll('poll', { now, topic, page: on, version: answer.headers.get('ETag').replace(/^(W\/)?"|"$/g, ''), html: await answer.text() })
      else tellAll('poll', { topic, page: on, error: `ebb web answers ${answer.status}` })
      any = true
    } catch { /* counted as no answer */ }
  }
  return any
}

function reopenSoon() {
  clearTimeout(reopening)
  reopening = setTimeout(() => { if (resign) listen() }, 50)
}

// lead listens for all windows until resign is called.
function lead() {
  return new Promise(done => {
    windows.clear()
    resign = () => {
      resign = null
      hush()
      clearInterval(polling)
      polling = 0
      done()
    }
    channel?.postMessage({ kind: 'who' })
    reopenSoon()
  })
}

let asking = null
function join() {
  if (state.paused || state.how !== 'off' || lives().length === 0) return
  state.how = 'joining'
  state.heard = Date.now()
  if (!shared) {
    lead()
    return
  }
  asking = new AbortController()
  navigator.locks.request('ebb' + base, { signal: asking.signal }, lead).catch(() => {})
  announce()
}

function part(why) {
  if (state.how === 'off') return
  state.how = 'off'
  state.why = why
  asking?.abort()
  resign?.()
  channel?.postMessage({ kind: 'leave', from: me })
  drawState()
}

function announce() {
  if (state.how !== 'off') channel?.postMessage({ kind: 'here', from: me, subjects: mine() })
}

channel?.addEventListener('message', ({ data: m }) => {
  switch (m.kind) {
    case 'who':
      announce()
      break
    case 'here':
      if (!resign) break
      const known = windows.get(m.from)
      windows.set(m.from, { subjects: m.subjects, at: Date.now() })
      if (!known || known.subjects.map(s => s[0] + s[1]).join() !== m.subjects.map(s => s[0] + s[1]).join()) reopenSoon()
      break
    case 'leave':
      if (windows.delete(m.from) && resign) reopenSoon()
      break
    default:
      if (state.how !== 'off') heard(m.kind, m.data)
  }
})

setInterval(() => {
  announce()
  for (const [id, w] of windows) if (Date.now() - w.at > 3 * letGo) windows.delete(id)
}, 20000)

// drawState says how fresh the page is, and greys out what is not.
function drawState() {
  const age = Date.now() - state.heard
  const stale = state.heard > 0 && age > tooOld && lives().length > 0
  const reason = state.paused ? 'paused' : state.why || 'nothing was heard from ebb web'
  document.body.toggleAttribute('data-stale', stale)
  const note = document.querySelector('[data-stale-note]')
  if (note) {
    note.hidden = !stale
    const text = `These numbers are older than 15 s: ${reason}.`
    if (stale && note.textContent !== text) note.textContent = text
  }
  if (!indicator) return
  indicator.hidden = lives().length === 0
  let text
  if (state.paused) text = '○ paused'
  else if (state.how === 'poll') text = '◐ every 5 s'
  else if (state.how === 'live' && age < patience) text = `● live ${(age / 1000).toFixed(1)} s ago`
  else if (state.how === 'bye') text = '○ ' + state.why
  else if (state.how === 'off') text = '○ paused'
  else if (age < patience) text = '○ connecting'
  else text = `▲ no answer for ${Math.round(age / 1000)} s`
  if (indicator.textContent !== text) indicator.textContent = text
}
setInterval(() => { if (!document.hidden) drawState() }, 500)

function pause() {
  state.paused = !state.paused
  if (state.paused) part('paused')
  else join()
  indicator?.setAttribute('aria-pressed', String(state.paused))
  drawState()
}
indicator?.addEventListener('click', pause)

let hiding = 0
document.addEventListener('visibilitychange', () => {
  clearTimeout(hiding)
  if (document.hidden) hiding = setTimeout(() => part('this window was hidden'), shared ? letGo : 1000)
  else join()
})
addEventListener('pagehide', () => part('left'))
addEventListener('pageshow', e => { if (e.persisted) join() })
onPage(root => { if (root === document) join() })

// A page that could not be made comes back by itself once it can.
onPage(root => {
  if (root !== document || !document.querySelector('[data-retry]')) return
  const again = async () => {
    try {
      const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(patience) })
      if (answer.status < 500) return location.reload()
    } catch { /* not yet */ }
    setTimeout(again, 3000)
  }
  setTimeout(again, 3000)
})
