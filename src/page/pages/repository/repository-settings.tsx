import { useLocation } from 'preact-iso'
import { attempt, attemptIfSure } from '../../parts/toast.tsx'
import { type Answer, change } from '../../server/api.ts'
import { formatBytes } from '../../values/format.ts'

type ShownRepository = Answer<'repositories/:repository'>

/** The settings of a repository, and its deletion. */
export function RepositorySettings({ repository, what }: { repository: ShownRepository; what: string }) {
  const { name, description, untaggedDays, immutableTags } = repository
  const params = { repository: name }
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    const days = String(form.get('untaggedDays'))
    await attempt(
      () =>
        change('patch', 'repositories/:repository', {
          params,
          body: {
            description: String(form.get('description')),
            immutableTags: String(form.get('immutableTags'))
              .split(/[\s,]+/)
              .filter(Boolean),
            untaggedDays: days === '' ? null : Number(days),
          },
        }),
      'The settings are saved',
    )
  }
  return (
    <>
      <form class="card settings" onSubmit={submit}>
        <h2>Settings</h2>
        <label>
          Description
          <textarea name="description" rows={3} maxLength={4096} defaultValue={description} />
        </label>
        <label>
          Immutable tags
          <input name="immutableTags" defaultValue={immutableTags.join(', ')} placeholder="None" />
          <small>
            Patterns, such as v*, of tags that can be created, but not moved or deleted. * matches all tags.
          </small>
        </label>
        <label>
          Days until a manifest that was never tagged is deleted
          <input
            type="number"
            name="untaggedDays"
            min={0}
            max={36500}
            defaultValue={untaggedDays}
            placeholder="The server's setting"
          />
          <small>0 keeps them. Empty uses the setting of the server.</small>
        </label>
        <footer>
          <button type="submit" class="primary">
            Save
          </button>
        </footer>
      </form>
      <DeleteRepository name={name} what={`${what} and ${formatBytes(repository.bytes)}`} />
    </>
  )
}

function DeleteRepository({ name, what }: { name: string; what: string }) {
  const { route } = useLocation()
  const params = { repository: name }
  const remove = async () => {
    const isDone = await attemptIfSure(
      {
        title: `Delete ${name}?`,
        text: `This deletes the repository with ${what}. It can be restored until the garbage collector deletes it permanently.`,
        action: 'Delete the repository',
      },
      () => change('delete', 'repositories/:repository', { params }),
      `${name} is deleted`,
      () => change('post', 'repositories/:repository/restore', { params, body: {} }),
    )
    if (isDone) route('/repositories')
  }
  return (
    <section class="card danger-zone">
      <h2>Delete</h2>
      <p>
        Deletes {name} with {what}.
      </p>
      <button type="button" class="danger" onClick={remove}>
        Delete the repository
      </button>
    </section>
  )
}
