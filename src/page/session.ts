import { effect, signal } from '@preact/signals'
import { type Answer, type ApiError, call, csrfToken, expiries, revision } from './api.ts'

/** Who uses this page; undefined until the server has said so. */
export const caller = signal<Answer<'caller'> | undefined>(undefined)

/** Why the server has not said who uses this page. */
export const callerFailure = signal<ApiError | undefined>(undefined)

/** Whether the session ended although the caller did not sign out. */
export const hasExpired = signal(false)

/** Asks the server who uses this page. What is shown is read again if that is somebody else. */
export async function loadCaller(): Promise<void> {
  const before = caller.peek()
  const found = await call('get', 'caller').catch((error) => {
    callerFailure.value = error
    throw error
  })
  csrfToken.value = found.session?.csrfToken
  caller.value = found
  if (before === undefined || before.account === found.account) return
  hasExpired.value = found.account === undefined
  revision.value++
}

/** Signs in. Throws ApiError. */
export async function signIn(name: string, password: string): Promise<void> {
  await call('post', 'session', { body: { username: name, password } })
  await loadCaller()
}

/** Signs out. Throws ApiError. */
export async function signOut(): Promise<void> {
  await call('delete', 'session')
  await loadCaller()
  hasExpired.value = false
}

/**
 * Asks again who uses the page when the server no longer knows the session, and when somebody comes back to the page.
 * Returns a function that stops this.
 */
export function watchSession(): () => void {
  const ask = () => {
    if (document.visibilityState === 'visible') loadCaller().catch(() => {})
  }
  document.addEventListener('visibilitychange', ask)
  const stop = effect(() => {
    if (expiries.value > 0) loadCaller().catch(() => {})
  })
  return () => {
    document.removeEventListener('visibilitychange', ask)
    stop()
  }
}
