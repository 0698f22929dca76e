import { Plus } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useId, useState } from 'preact/hooks'
import { messageOf } from '../../server/api.ts'
import { Dialog } from './dialog.tsx'
import { valuesOf } from './inline-form.tsx'

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
  /** The title of the dialog. */
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
  const [failure, setFailure] = useState('')
  const send = async (event: SubmitEvent) => {
    try {
      await submit(valuesOf(event))
      onClose()
    } catch (error) {
      setFailure(messageOf(error))
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
    return <input type="number" inputMode="decimal" min={min} max={max} step={step} {...shared} />
  }
  if (type === 'password') return <input type="password" autoComplete="new-password" {...shared} />
  return <input type="text" autoCapitalize="none" autoComplete="off" {...shared} />
}

interface FormButtonProps extends Omit<FormProps, 'title'> {
  label: string
  isPrimary?: boolean
  /** By default the label. */
  title?: string
}

/** A button that opens a form. */
export function FormButton({ label, isPrimary = true, title = label, ...form }: FormButtonProps) {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <button type="button" class={isPrimary ? 'primary' : ''} onClick={() => setOpen(true)}>
        {isPrimary && <Plus aria-hidden />} {label}
      </button>
      {isOpen && <FormDialog title={title} {...form} onClose={() => setOpen(false)} />}
    </>
  )
}
