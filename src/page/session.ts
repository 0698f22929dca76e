import { effect, signal } from '@preact/signals'
import { type Answer, call, change, csrfToken, expiries } from './api.ts'

/** Who uses this page; undefined until the server has said so. */
export const caller = signal<Answer<'caller'> | undefined>(undefined)

/** Asks the server who uses this page. */
export async function loadCaller(): Promise<void> {
  const found = await call('get', 'caller')
  csrfToken.value = found.session?.csrfToken
  caller.value = found
}

/** Signs in. Throws ApiError. */
export async function signIn(name: string, password: string): Promise<void> {
  await call('post', 'session', { body: { username: name, password } })
  await loadCaller()
}

/** Signs out. */
export async function signOut(): Promise<void> {
  await change('delete', 'session')
  await loadCaller()
}

/** Asks again who uses the page when the server no longer knows the session. Returns a function that stops this. */
export function watchExpiry(): () => void {
  return effect(() => {
    if (expiries.value === 0) return
    csrfToken.value = undefined
    loadCaller().catch(() => {})
  })
}
