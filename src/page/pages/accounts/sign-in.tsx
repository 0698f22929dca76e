import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { Mark } from '../../parts/brand.tsx'
import { NameInput } from '../../parts/forms/inline-form.tsx'
import { ApiError, messageOf } from '../../server/api.ts'
import { caller, hasExpired, signIn } from '../../server/session.ts'

/** The form to sign in. Afterwards, the page that was asked for is shown. */
export function SignIn() {
  const { query, route, path } = useLocation()
  const [failure, setFailure] = useState('')
  const [isBusy, setBusy] = useState(false)
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => {
    document.title = 'Sign in · cay'
    first.current?.focus()
  }, [])
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    setBusy(true)
    setFailure('')
    try {
      await signIn(String(form.get('name')), String(form.get('password')))
      const to = query.to ?? (path === '/sign-in' ? '/' : path)
      // Only a path of this server: a link must not lead elsewhere.
      route(/^\/(?![/\\])/.test(to) ? to : '/', true)
    } catch (error) {
      setFailure(reasonOf(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <form class="sign-in" onSubmit={submit}>
      <Mark />
      <h1>Sign in to {location.host}</h1>
      {hasExpired.value && <p role="status">Your session has ended. Sign in again.</p>}
      <NameInput label="Name" name="name" autoComplete="username" required ref={first} maxLength={64} />
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required maxLength={1024} />
      </label>
      <p class="form-error" role="alert">
        {failure}
      </p>
      <button type="submit" class="primary" disabled={isBusy}>
        Sign in
      </button>
      {caller.value?.catalogAccess && <a href="/repositories">Continue without signing in</a>}
    </form>
  )
}

function reasonOf(error: unknown): string {
  if (!(error instanceof ApiError)) return messageOf(error)
  if (error.status === 401) return 'The name or the password is wrong.'
  if (error.status === 429) return 'Too many failed attempts. Wait a moment, then try again.'
  return error.message
}
