import { signal } from '@preact/signals'
import { X } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'

interface DialogProps {
  title: string
  onClose: () => void
  children: ComponentChildren
}

/** A modal dialog, open as long as it is rendered. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = element.current
    if (dialog && !dialog.open) dialog.showModal()
    return () => dialog?.close()
  }, [])
  return (
    <dialog ref={element} aria-labelledby={id} onClose={onClose}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
          <X aria-hidden />
        </button>
      </header>
      {children}
    </dialog>
  )
}

export interface Question {
  title: string
  /** What will happen, with numbers. */
  text: string
  /** The verb of the button that does it. */
  action: string
}

interface AskedQuestion extends Question {
  answer: (isYes: boolean) => void
}

const question = signal<AskedQuestion | undefined>(undefined)

/** Asks before something is destroyed. Resolves to whether to do it. */
export function confirm(asked: Question): Promise<boolean> {
  return new Promise((resolve) => {
    question.value = { ...asked, answer: resolve }
  })
}

/** Shows the question that `confirm` asks. */
export function Questions() {
  const asked = question.value
  if (asked === undefined) return null
  const answer = (isYes: boolean) => {
    question.value = undefined
    asked.answer(isYes)
  }
  return (
    <Dialog title={asked.title} onClose={() => answer(false)}>
      <p>{asked.text}</p>
      <footer>
        <button type="button" onClick={() => answer(false)}>
          Cancel
        </button>
        <button type="button" class="danger" onClick={() => answer(true)}>
          {asked.action}
        </button>
      </footer>
    </Dialog>
  )
}
