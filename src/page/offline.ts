import { effect } from '@preact/signals'
import { isOffline, revision } from './api.ts'
import { caller, loadCaller } from './session.ts'

const RETRY_SECONDS = 3

/** While the server cannot be reached, tries again, and then reads again what is shown. Returns a function that stops this. */
export function watchConnection(): () => void {
  return effect(() => {
    if (!isOffline.value) return
    const retry = async () => {
      const response = await fetch('/livez').catch(() => undefined)
      if (!response?.ok) return
      isOffline.value = false
      if (caller.peek() === undefined) await loadCaller().catch(() => {})
      revision.value++
    }
    const timer = setInterval(retry, RETRY_SECONDS * 1000)
    return () => clearInterval(timer)
  })
}
