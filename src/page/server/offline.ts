import { effect } from '@preact/signals'
import { isOffline, revision } from './api.ts'
import { loadCaller } from './session.ts'

const RETRY_SECONDS = 3

/**
 * While the server cannot be reached and the page is visible, retries and then refreshes the page. Returns a function
 * that stops this.
 */
export function watchConnection(): () => void {
  return effect(() => {
    if (!isOffline.value) return
    const retry = async () => {
      if (document.visibilityState === 'hidden') return
      const signal = AbortSignal.timeout(RETRY_SECONDS * 1000)
      const response = await fetch('/livez', { signal }).catch(() => undefined)
      if (!response?.ok) return
      isOffline.value = false
      await loadCaller().catch(() => {})
      revision.value++
    }
    const timer = setInterval(retry, RETRY_SECONDS * 1000)
    return () => clearInterval(timer)
  })
}
