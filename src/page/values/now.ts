import { signal } from '@preact/signals'

/** The current time in milliseconds since 1970, updated now and then. Relative times follow it. */
export const now = signal(Date.now())

/** Keeps `now` current. Returns a function that stops this. */
export function followTime(): () => void {
  const timer = setInterval(() => {
    now.value = Date.now()
  }, 15_000)
  return () => clearInterval(timer)
}
