import { useSignal } from '@preact/signals'
import { Plus } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'
import { messageOf } from '../../server/api.ts'
import { Dialog } from './dialog.tsx'

export interface Field {
  name: string
  label: string
  type?: 'text' | 'password' | 'checkbox' | 'number'
  /** Makes it a choice: the values with their names. */
  options?: Record<string, string>
  isOptional?: boolean
  placeholder?: string
  help?: string
  value?: string | undefined
  /** The bounds of a number, and its step: 1 by default. */
  min?: number
  max?: number
  step?: 'any'
}

export interface FormProps {
  title: string
  /** The verb of the button. */
  action: string
  fields: Field[]
  /** Gets the values by the names of the fields; a checkbox that is off has none. Throws ApiError. */
  submit: (values: Record<string, string>) => Promise<unknown>
  children?: ComponentChildren
}

/** A form in a dialog. It stays open with the reason if the server refuses. */
function FormDialog({
  title,
  action,
  fields,
  submit,
  children,
  onClose,
}: FormProps & { onClose: () => void }) {
  const failure = useSignal('')
  const send = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    try {
      await submit(Object.fromEntries([...form].map(([name, value]) => [name, String(value).trim()])))
      onClose()
    } catch (error) {
      failure.value = messageOf(error)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={send}>
        {children}
        {fields.map((field) => (
          <FieldInput key={field.name} field={field} />
        ))}
        <p class="form-error" role="alert">
          {failure}
        </p>
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary">
            {action}
          </button>
        </footer>
      </form>
    </Dialog>
  )
}

function FieldInput({ field }: { field: Field }) {
  const id = useId()
  const { name, label, type = 'text', help, value = '' } = field
  if (type === 'checkbox') {
    return (
      <label class="check">
        <input type="checkbox" name={name} defaultChecked={value === 'on'} />
        <span>
          {label}
          {help && <small>{help}</small>}
        </span>
      </label>
    )
  }
  return (
    <div class="field">
      <label htmlFor={id}>{label}</label>
      <TextInput id={id} field={field} />
      {help && <small>{help}</small>}
    </div>
  )
}

function TextInput({ id, field }: { id: string; field: Field }) {
  const { name, type = 'text', options, isOptional = false, placeholder, value = '' } = field
  if (options) {
    return (
      <select id={id} name={name} defaultValue={value}>
        {Object.entries(options).map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
    )
  }
  const shared = { id, name, placeholder, defaultValue: value, required: !isOptional, spellcheck: false }
  if (type === 'number') {
    const { min, max, step } = field
    return <input type="number" inputMode="decimal" {...shared} {...{ min, max, step }} />
  }
  if (type === 'password') return <input type="password" autoComplete="new-password" {...shared} />
  return <input type="text" autoCapitalize="none" autoComplete="off" {...shared} />
}

/** A button that opens a form. */
export function FormButton({
  label,
  isPrimary = true,
  ...form
}: FormProps & { label: string; isPrimary?: boolean }) {
  const isOpen = useSignal(false)
  return (
    <>
      <button
        type="button"
        class={isPrimary ? 'primary' : ''}
        onClick={() => {
          isOpen.value = true
        }}
      >
        {isPrimary && <Plus aria-hidden />} {label}
      </button>
      {isOpen.value && (
        <FormDialog
          {...form}
          onClose={() => {
            isOpen.value = false
          }}
        />
      )}
    </>
  )
}
