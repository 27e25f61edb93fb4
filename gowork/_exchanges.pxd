# The types with which exchanges.py is compiled.
cimport cython
from gowork._greenlets cimport get_ident, getcurrent, import_greenlet, is_child, task_of
from gowork._parties cimport CLOSED, DONE, Line, Party, new_party


cdef object get_hub


@cython.final
cdef class Case:
    cdef readonly Exchange channel
    cdef readonly bint sends
    cdef readonly object value


@cython.locals(case=Case)
cdef Case new_case(Exchange channel, bint sends, value)


cdef class Exchange:
    cdef readonly Py_ssize_t _capacity
    cdef readonly bint _closed
    cdef unsigned long _thread
    cdef readonly object _hub
    cdef object _call_soon
    cdef readonly object _items
    cdef readonly list _returned
    cdef long long _handed
    cdef readonly Line _senders
    cdef readonly Line _receivers

    @cython.locals(party=Party)
    cpdef send(self, value, timeout=*)
    @cython.locals(party=Party)
    cpdef recv(self, timeout=*)
    cpdef Case receiving(self)
    cpdef Case sending(self, value)
    @cython.locals(line=Line)
    cpdef _close_now(self)
    cdef bint _come_in(self, doing) except -1
    cdef _hub_of(self, greenlet, doing)
    cpdef _belong_to(self, hub)
    cdef Party _party(self, bint sends, value, doing)
    cpdef Party _stand(self, value)
    @cython.locals(receiver=Party)
    cdef bint _accepts(self, value) except -1
    cdef _hand(self, Party receiver, long long number, value)
    cdef bint _has_value(self, doing) except -1
    cdef _take(self)
    @cython.locals(sender=Party)
    cdef _relieve(self)
    @cython.locals(receiver=Party)
    cpdef _put_back(self, long long number, value)
    cdef bint _is_over(self)
    cdef bint _is_ready(self, bint sends) except -1
