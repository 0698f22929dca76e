/** How long a tab that leads may be silent before another one takes its place. */
const LEASE_MILLISECONDS = 4000

const KEY = 'cay-leader'

/**
 * Makes one tab of this browser the leader, and another one when that is closed. Calls `lead` in the tab that leads, and
 * what it returned when the tab no longer does.
 *
 * Web Locks know at once when a tab is closed, but browsers have them only over HTTPS and on loopback. Elsewhere the tabs
 * share a lease in the local storage. Two tabs may then lead for a moment, which costs a connection and nothing else.
 */
export function followLeader(lead: () => () => void): void {
  if (navigator.locks) {
    // The lock is held until the tab is closed.
    navigator.locks.request(KEY, () => new Promise<never>(() => lead())).catch(() => {})
    return
  }
  const own = String(Math.random())
  let resign: (() => void) | undefined
  const renew = () => {
    const [holder, until = '0'] = localStorage.getItem(KEY)?.split(' ') ?? []
    if (holder !== own && Date.now() < Number(until)) {
      resign?.()
      resign = undefined
      return
    }
    localStorage.setItem(KEY, `${own} ${Date.now() + LEASE_MILLISECONDS}`)
    resign ??= lead()
  }
  renew()
  setInterval(renew, LEASE_MILLISECONDS / 4)
  addEventListener('pagehide', () => resign && localStorage.removeItem(KEY))
}
