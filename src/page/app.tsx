import { ErrorBoundary, LocationProvider, lazy, Route, Router } from 'preact-iso'
import { Layout } from './layout.tsx'
import { Home } from './pages/home.tsx'
import { NotFound } from './pages/not-found.tsx'
import { Repositories } from './pages/repositories.tsx'
import { SignIn } from './pages/sign-in.tsx'
import { Loading } from './parts/states.tsx'
import { caller } from './session.ts'

const Repository = lazy(() => import('./pages/repository.tsx').then((module) => module.Repository))

/** The paths of the page. Other links, such as to /swagger, leave it. */
const scope = /^\/($|\?|(sign-in|repositories|cache|accounts|activity|maintenance|settings)($|[/?]))/

/** The whole page: who uses it decides what is shown. */
export function App() {
  if (caller.value === undefined) return <Loading />
  return (
    <LocationProvider scope={scope}>
      <Layout>
        <ErrorBoundary>
          <Router>
            <Route path="/" component={Home} />
            <Route path="/sign-in" component={SignIn} />
            <Route path="/repositories" component={Repositories} />
            <Route path="/repositories/*" component={Repository} />
            <Route default component={NotFound} />
          </Router>
        </ErrorBoundary>
      </Layout>
    </LocationProvider>
  )
}
