import { signal } from '@preact/signals'
import { X } from 'lucide-preact'
import { useEffect, useRef } from 'preact/hooks'
import { messageOf } from '../server/api.ts'
import { confirm, type Question } from './forms/dialog.tsx'

interface Toast {
  id: number
  text: string
  isError: boolean
  undo?: (() => void) | undefined
}

const SECONDS = 10

const toasts = signal<readonly Toast[]>([])

/** Says that something was done. `undo` adds a button that reverses it. */
function say(text: string, undo?: () => Promise<unknown>): void {
  show({ text, isError: false, undo: undo && (() => attempt(undo, 'Undone')) })
}

/** Does something; says `done` afterwards, or why it failed. Returns whether it succeeded. */
export async function attempt(act: () => Promise<unknown>, done?: string, undo?: () => Promise<unknown>) {
  try {
    await act()
    if (done !== undefined) say(done, undo)
    return true
  } catch (error) {
    show({ text: messageOf(error), isError: true })
    return false
  }
}

/**
 * Asks before something is destroyed, and then does it like `attempt`. A question that must be made can fail, too. Returns
 * whether it was done.
 */
export async function attemptIfSure(
  question: Question | (() => Promise<Question>),
  ...attempted: Parameters<typeof attempt>
): Promise<boolean> {
  let asked = question as Question
  if (typeof question === 'function') {
    const isAsked = await attempt(async () => {
      asked = await question()
    })
    if (!isAsked) return false
  }
  return (await confirm(asked)) && (await attempt(...attempted))
}

function show(toast: Omit<Toast, 'id'>): void {
  const id = performance.now()
  toasts.value = [...toasts.value.slice(-2), { ...toast, id }]
  if (!toast.isError) setTimeout(() => close(id), SECONDS * 1000)
}

function close(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id)
}

/** Shows what was said last. */
export function Toasts() {
  const element = useRef<HTMLElement>(null)
  const count = toasts.value.length
  useEffect(() => {
    // Shown anew, a popover is above the dialogs that were opened meanwhile.
    element.current?.hidePopover()
    if (count > 0) element.current?.showPopover()
  }, [count])
  return (
    <section ref={element} popover="manual" class="toasts" aria-label="Messages" aria-live="polite">
      {toasts.value.map(({ id, text, isError, undo }) => (
        <div key={id} class={isError ? 'toast error' : 'toast'}>
          <span>{text}</span>
          {undo && (
            <button
              type="button"
              onClick={() => {
                close(id)
                undo()
              }}
            >
              Undo
            </button>
          )}
          <button type="button" class="icon-button small" aria-label="Dismiss" onClick={() => close(id)}>
            <X aria-hidden />
          </button>
        </div>
      ))}
    </section>
  )
}
