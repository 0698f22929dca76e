import { Menu, Search } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { destinationOf, isOpenTo } from './destinations.ts'
import { useKeys } from './keys.ts'
import { SignIn } from './pages/accounts/sign-in.tsx'
import { Refused } from './pages/refused.tsx'
import { Brand } from './parts/brand.tsx'
import { Questions } from './parts/forms/dialog.tsx'
import { Help } from './parts/forms/help.tsx'
import { Navigation } from './parts/navigation.tsx'
import { Toasts } from './parts/toast.tsx'
import { SearchDialog } from './search.tsx'
import { isOffline } from './server/api.ts'
import { caller } from './server/session.ts'

/** The frame of every page: navigation, search, messages. */
export function Layout({ children }: { children: ComponentChildren }) {
  const [isSearching, setSearching] = useState(false)
  const [isHelping, setHelping] = useState(false)
  const [isOpen, setOpen] = useState(false)
  useKeys({ '/': () => setSearching(true), '?': () => setHelping(true) })
  const { path } = useLocation()
  const mayList = caller.value?.catalogAccess === true
  useEffect(() => setOpen(false), [path])
  const destination = destinationOf(path)
  const isRefused = destination !== undefined && !isOpenTo(destination, caller.value)
  const shown = !isRefused ? children : caller.value?.account === undefined ? <SignIn /> : <Refused />
  if (path === '/sign-in' || !mayList) {
    return (
      <>
        <main class="bare">{shown}</main>
        <Toasts />
      </>
    )
  }
  return (
    <div class="layout">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top-bar">
        <button
          type="button"
          class="icon-button menu"
          aria-label="Navigation"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          <Menu aria-hidden />
        </button>
        <Brand />
        <button type="button" class="search-button" onClick={() => setSearching(true)}>
          <Search aria-hidden /> <span>Search</span> <kbd>/</kbd>
        </button>
      </header>
      <Navigation path={path} isOpen={isOpen} />
      <main id="main" tabIndex={-1}>
        {isOffline.value && (
          <p class="banner" role="status">
            The server cannot be reached. This page continues by itself as soon as it can.
          </p>
        )}
        {shown}
      </main>
      {isSearching && <SearchDialog onClose={() => setSearching(false)} />}
      {isHelping && <Help onClose={() => setHelping(false)} />}
      <Questions />
      <Toasts />
    </div>
  )
}
