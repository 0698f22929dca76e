import { caller } from '../session.ts'
import { Repositories } from './repositories.tsx'
import { SignIn } from './sign-in.tsx'

/** The first page: for whoever may not see anything, the form to sign in. */
export function Home() {
  if (!caller.value?.canList) return <SignIn />
  return <Repositories />
}
