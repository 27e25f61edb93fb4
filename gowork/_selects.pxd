# The types with which selects.py is compiled.
cimport cython
from gowork._exchanges cimport Case, Exchange
from gowork._greenlets cimport getcurrent, import_greenlet, task_of
from gowork._parties cimport CLOSED, DONE, Party


cdef object roll


@cython.locals(all_cases=list, case=Case, chances=Py_ssize_t, luck=double)
cpdef select(cases, timeout=*)
@cython.locals(case=Case, index=Py_ssize_t)
cdef _proceed(list cases, Py_ssize_t chosen)
@cython.locals(case=Case, nothing=Exchange, party=Party)
cdef _wait_for_one(list cases, limit)
