import { effect, signal } from '@preact/signals'
import { type Answer, type ApiError, call, csrfToken, expiries, revision } from './api.ts'

/** The caller; undefined until the server has responded. */
export const caller = signal<Answer<'caller'> | undefined>(undefined)

/** Why the caller could not be determined. */
export const callerFailure = signal<ApiError | undefined>(undefined)

/** Whether the session ended although the caller did not sign out. */
export const hasExpired = signal(false)

/** Asks the server for the caller. Refreshes the page if the caller has changed. */
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
 * Asks for the caller again when the server no longer knows the session, and when the user returns to the page.
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
