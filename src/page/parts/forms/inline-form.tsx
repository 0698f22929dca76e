import type { ComponentChildren, ComponentProps } from 'preact'

/** Returns the trimmed values of a form by their names, and keeps the browser from sending it. */
export function valuesOf(event: SubmitEvent): Record<string, string> {
  event.preventDefault()
  const form = new FormData(event.currentTarget as HTMLFormElement)
  return Object.fromEntries([...form].map(([name, value]) => [name, String(value).trim()]))
}

interface InlineFormProps {
  /** Gets the trimmed values by their names. */
  submit: (values: Record<string, string>) => void
  children: ComponentChildren
}

/** A form on one line. */
export function InlineForm({ submit, children }: InlineFormProps) {
  return (
    <form class="inline" onSubmit={(event) => submit(valuesOf(event))}>
      {children}
    </form>
  )
}

/** A field for a name, with its label. */
export function NameInput({ label, ...input }: { label: string } & ComponentProps<'input'>) {
  return (
    <label>
      {label}
      <input autoCapitalize="none" spellcheck={false} {...input} />
    </label>
  )
}
