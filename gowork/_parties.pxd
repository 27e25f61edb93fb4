# The types with which parties.py is compiled.
cimport cython
from gowork._greenlets cimport import_greenlet, switch_to


cdef dict late_errors
cdef set hookless
cdef int WAITING, DONE, CLOSED, GONE


@cython.final
cdef class Party:
    cdef readonly object exchange
    cdef readonly object value
    cdef readonly object greenlet
    cdef object hub
    cdef readonly Line line
    cdef object call_soon
    cdef readonly object callback
    cdef list cases
    cdef readonly Party before
    cdef readonly Party after
    cdef Py_ssize_t index
    cdef long long number
    cdef bint sends
    cdef bint stopped
    cdef int state

    cpdef wait(self, timeout)
    @cython.locals(first=Party)
    cdef settle(self, int state)
    cpdef done(self)
    cpdef stop(self)
    cdef give(self)
    cdef _wake(self)
    @cython.locals(done=Party)
    cdef _wait(self)
    @cython.locals(party=Party)
    cdef Party _done_one(self)
    @cython.locals(party=Party)
    cdef _leave(self)


@cython.locals(party=Party)
cdef Party new_party(exchange, Line line, bint sends, value, greenlet, hub, call_soon)


@cython.final
cdef class Line:
    cdef readonly Party first
    cdef Party last
    cdef Py_ssize_t length

    @cython.locals(last=Party)
    cdef append(self, Party party)
    @cython.locals(before=Party, after=Party)
    cdef remove(self, Party party)
