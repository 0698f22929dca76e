import { useState } from 'preact/hooks'
import { expireTags, type PointedTag } from '../../server/tag-acts.ts'
import { countOf } from '../../values/format.ts'
import { Dialog } from './dialog.tsx'

const DAY_MS = 86_400_000

const choices: Record<string, string> = {
  '1': 'In a day',
  '7': 'In a week',
  '30': 'In 30 days',
  '90': 'In 90 days',
  '': 'Never',
}

interface ExpiryDialogProps {
  repository: string
  tags: PointedTag[]
  onClose: () => void
}

/** Sets when tags expire. */
export function ExpiryDialog({ repository, tags, onClose }: ExpiryDialogProps) {
  const [days, setDays] = useState('30')
  const submit = async (event: Event) => {
    event.preventDefault()
    const at = days === '' ? null : new Date(Date.now() + Number(days) * DAY_MS).toISOString()
    if (await expireTags(repository, tags, at)) onClose()
  }
  return (
    <Dialog title={`When ${countOf(tags.length, 'tag')} should expire`} onClose={onClose}>
      <form onSubmit={submit}>
        <fieldset class="radios">
          <legend class="hidden">Expiry</legend>
          {Object.entries(choices).map(([value, name]) => (
            <label key={value}>
              <input
                type="radio"
                name="days"
                value={value}
                checked={days === value}
                onChange={() => setDays(value)}
              />
              {name}
            </label>
          ))}
        </fieldset>
        <p class="muted">An expired tag is deleted. It can be restored as long as deleted content is kept.</p>
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Set expiry
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
